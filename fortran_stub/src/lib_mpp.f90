!> MPI: start, stop, errors, gathering a field.
module lib_mpp
   use mpi, only: MPI_COMM_WORLD, MPI_COMM_NULL, MPI_REAL, MPI_DOUBLE_PRECISION, MPI_INTEGER, MPI_MIN, MPI_MAX, MPI_SUM, &
   &             MPI_Init, MPI_Initialized, MPI_Finalize, MPI_Finalized, MPI_Comm_dup, MPI_Comm_rank, MPI_Comm_size, &
   &             MPI_Barrier, MPI_Abort, MPI_Wtime, MPI_Allgather, MPI_Gatherv, MPI_Reduce
   use par_kind, only: wp, dp, sp
   use par_oce, only: jpi, jpj, jpnij, Nis0, Nie0, Njs0, Nje0, Ni_0, Nj_0
   use in_out_manager, only: lwp, narea, numout, numerr
   implicit none
   private
   public :: mpp_start, mppstop, ctl_stop, mpp_gather, mpp_gather_setup, mpp_stats

   integer, public :: mpi_comm_oce = MPI_COMM_NULL   !< communicator of the ocean ranks
   integer, public :: mpprank = 0, mppsize = 1       !< rank, from 0, and number of ranks
   integer, parameter, public :: mpi_wp = merge(MPI_REAL, MPI_DOUBLE_PRECISION, wp == sp)   !< MPI's name of wp

   character(len=*), parameter, public :: cp_abort = 'halocline.abort'   !< holds the message of a job that was stopped
   logical, public :: l_oldabort = .false.   !< it was there at the start: of an earlier job

   integer, allocatable :: nbox(:, :)    ! (4, rank): first column, first row, columns, rows of each subdomain; on rank 0
   integer, allocatable :: ncount(:), ndispl(:)
   real(wp), allocatable :: zsnd(:), zrcv(:)

contains

   !> Start MPI unless it runs already; the ocean gets a communicator of its own.
   subroutine mpp_start(localComm)
      integer, optional, intent(in) :: localComm   !< ranks that are the ocean; absent: all
      integer :: ierr, icomm, inum
      logical :: ll

      call MPI_Initialized(ll, ierr)
      if (.not. ll) call MPI_Init(ierr)
      icomm = MPI_COMM_WORLD
      if (present(localComm)) icomm = localComm
      call MPI_Comm_dup(icomm, mpi_comm_oce, ierr)
      call MPI_Comm_rank(mpi_comm_oce, mpprank, ierr)
      call MPI_Comm_size(mpi_comm_oce, mppsize, ierr)
      narea = mpprank + 1
      lwp = mpprank == 0
      if (lwp) then
         inquire (file=cp_abort, exist=l_oldabort)
         if (.not. present(localComm)) then   ! of an earlier run; a coupled job shares the file with the coupler
            open (newunit=inum, file=cp_abort, status='old', iostat=ierr)
            if (ierr == 0) close (inum, status='delete')
            l_oldabort = .false.
         end if
         open (newunit=numout, file='ocean.output', status='replace', action='write', iostat=ierr)
         if (ierr /= 0) then
            numout = -1
            call ctl_stop('ocean.output cannot be written in this directory.', 'Run in a directory where you may write.')
         end if
      end if
      call MPI_Barrier(mpi_comm_oce, ierr)
   end subroutine mpp_start

   !> End MPI: the last call of the model.
   subroutine mppstop()
      integer :: ierr
      logical :: ll
      if (lwp) close (numout)
      call MPI_Finalized(ll, ierr)
      if (.not. ll) call MPI_Finalize(ierr)
   end subroutine mppstop

   !> Stop the whole job with a message of up to six lines: what, got, allowed, where, what to do.
   !!
   !! The message is printed once per job, however many ranks meet the error: the rank that creates halocline.abort
   !! speaks (to stderr, to ocean.output and into that file), the others give it a second and fall silent. Rank 0, which
   !! holds ocean.output, gets a head start: most errors are met by all ranks at once.
   subroutine ctl_stop(cd1, cd2, cd3, cd4, cd5, cd6)
      character(len=*), intent(in) :: cd1
      character(len=*), optional, intent(in) :: cd2, cd3, cd4, cd5, cd6
      integer :: inum, ios, iopen, ierr, iout
      logical :: ll_file, ll_mpi, ll_silent

      call MPI_Initialized(ll_mpi, ierr)
      if (ll_mpi .and. .not. lwp) call wait(0.3_dp)
      open (newunit=inum, file=cp_abort, status='new', action='write', iostat=ios)
      inquire (file=cp_abort, exist=ll_file)
      ll_silent = ios /= 0 .and. ll_file
      if (.not. ll_silent) then
         if (ios == 0) then
            call say(inum)
            close (inum, iostat=ios)
            if (ios /= 0) write (numerr, '(3a)') 'gyre: ', cp_abort, ' cannot be written. Is the disk full?'
         end if
         iout = numout
         if (.not. lwp) then
            open (newunit=iout, file='ocean.output', position='append', action='write', iostat=iopen)
            if (iopen /= 0) iout = -1
         end if
         if (iout /= -1) then
            call say(iout)
            flush (iout, iostat=ios)
            if (ios /= 0) iout = -1
         end if
         call say(numerr)
         flush (numerr)
      end if
      if (.not. ll_mpi) error stop 1
      if (ll_silent) call wait(1._dp)
      call MPI_Abort(MPI_COMM_WORLD, 1, ierr)

   contains

      subroutine say(kunit)
         integer, intent(in) :: kunit
         integer :: istat
         write (kunit, '(2a)', iostat=istat) 'gyre: error: ', trim(cd1)
         if (present(cd2) .and. istat == 0) write (kunit, '(2a)', iostat=istat) '   ', trim(cd2)
         if (present(cd3) .and. istat == 0) write (kunit, '(2a)', iostat=istat) '   ', trim(cd3)
         if (present(cd4) .and. istat == 0) write (kunit, '(2a)', iostat=istat) '   ', trim(cd4)
         if (present(cd5) .and. istat == 0) write (kunit, '(2a)', iostat=istat) '   ', trim(cd5)
         if (present(cd6) .and. istat == 0) write (kunit, '(2a)', iostat=istat) '   ', trim(cd6)
         if (istat /= 0 .and. kunit /= numerr) write (numerr, '(a)') 'gyre: a message cannot be written. Is the disk full?'
      end subroutine say

      subroutine wait(psec)
         real(dp), intent(in) :: psec
         real(dp) :: zt0
         zt0 = MPI_Wtime()
         do while (MPI_Wtime() < zt0 + psec)
         end do
      end subroutine wait
   end subroutine ctl_stop

   !> Learn where every subdomain lies, for mpp_gather.
   subroutine mpp_gather_setup(kbox)
      integer, intent(in) :: kbox(4)   !< first global column and row, columns, rows of this rank
      integer :: ierr, jr

      allocate (nbox(4, jpnij), ncount(jpnij), ndispl(jpnij), zsnd(Ni_0*Nj_0))
      call MPI_Allgather(kbox, 4, MPI_INTEGER, nbox, 4, MPI_INTEGER, mpi_comm_oce, ierr)
      ncount = nbox(3, :)*nbox(4, :)
      ndispl(1) = 0
      do jr = 2, jpnij
         ndispl(jr) = ndispl(jr - 1) + ncount(jr - 1)
      end do
      allocate (zrcv(merge(sum(ncount), 1, mpprank == 0)))
   end subroutine mpp_gather_setup

   !> Gather the interiors of a 2-D field on rank 0.
   subroutine mpp_gather(ptab, pglo)
      real(wp), intent(in) :: ptab(:, :)      !< local field (jpi, jpj)
      real(wp), intent(inout) :: pglo(:, :)   !< global field (Ni0glo, Nj0glo), touched on rank 0 only
      integer :: ierr, jr

      zsnd(:) = reshape(ptab(Nis0:Nie0, Njs0:Nje0), [Ni_0*Nj_0])
      call MPI_Gatherv(zsnd, Ni_0*Nj_0, mpi_wp, zrcv, ncount, ndispl, mpi_wp, 0, mpi_comm_oce, ierr)
      if (mpprank /= 0) return
      do jr = 1, jpnij
         pglo(nbox(1, jr):nbox(1, jr) + nbox(3, jr) - 1, nbox(2, jr):nbox(2, jr) + nbox(4, jr) - 1) = &
         &   reshape(zrcv(ndispl(jr) + 1:ndispl(jr) + ncount(jr)), nbox(3:4, jr))
      end do
   end subroutine mpp_gather

   !> Minimum, mean and maximum over the ranks, on rank 0.
   subroutine mpp_stats(pval, pmin, pmean, pmax)
      real(dp), intent(in) :: pval(:)
      real(dp), intent(out) :: pmin(:), pmean(:), pmax(:)
      integer :: ierr
      call MPI_Reduce(pval, pmin, size(pval), MPI_DOUBLE_PRECISION, MPI_MIN, 0, mpi_comm_oce, ierr)
      call MPI_Reduce(pval, pmax, size(pval), MPI_DOUBLE_PRECISION, MPI_MAX, 0, mpi_comm_oce, ierr)
      call MPI_Reduce(pval, pmean, size(pval), MPI_DOUBLE_PRECISION, MPI_SUM, 0, mpi_comm_oce, ierr)
      pmean = pmean/real(mppsize, dp)
   end subroutine mpp_stats
end module lib_mpp
