!> Round trip of an exchange: sends u and v, receives du and dv at every step; prints seconds per step, median and least.
!! pingpong.exe nx ny nz steps [describe], one to many ranks cut along j.
program pingpong
   use, intrinsic :: iso_fortran_env, only : int64, real64
   use mpi
   use cpl_halocline
   implicit none
   integer :: nx, ny, nz, nsteps, icomm, irank, isize, ierr, ju, jv, jdu, jdv, kt, j0, nj, jr
   real(real64), allocatable :: u(:,:,:), v(:,:,:), du(:,:,:), dv(:,:,:), t(:)
   integer(int64) :: it0, it1, irate
   logical :: lldescribe
   real(real64) :: zless

   nx = argument(1) ; ny = argument(2) ; nz = argument(3) ; nsteps = argument(4)
   lldescribe = command_argument_count() > 4
   call cpl_init('pingpong', icomm, ld_describe=lldescribe)
   call MPI_Comm_rank(icomm, irank, ierr)
   call MPI_Comm_size(icomm, isize, ierr)
   j0 = irank * ny / isize
   nj = (irank + 1) * ny / isize - j0
   allocate(u(nx,nj,nz), v(nx,nj,nz), du(nx,nj,nz), dv(nx,nj,nz), t(nsteps))
   call random_number(u)
   call random_number(v)
   call cpl_domain(nx, ny, 0, j0, nx, nj)
   call cpl_var(ju, 'u', 'm s-1', 'U', nz, cpl_out)
   call cpl_var(jv, 'v', 'm s-1', 'V', nz, cpl_out)
   call cpl_var(jdu, 'du', 'm s-2', 'U', nz, cpl_in)
   call cpl_var(jdv, 'dv', 'm s-2', 'V', nz, cpl_in)
   call cpl_define(100._real64, 1, nsteps, 20000101, '360_day')
   if (lldescribe) then
      call MPI_Finalize(ierr)
      stop
   end if
   do kt = 1, nsteps
      call MPI_Barrier(icomm, ierr)
      call system_clock(it0, irate)
      call cpl_snd(ju, kt, u)
      call cpl_snd(jv, kt, v)
      call cpl_rcv(jdu, kt, du)
      call cpl_rcv(jdv, kt, dv)
      call system_clock(it1)
      t(kt) = real(it1 - it0, real64) / real(irate, real64)
   end do
   call cpl_finalize()
   do kt = 2, nsteps                     ! insertion sort
      zless = t(kt)
      do jr = kt - 1, 1, -1
         if (t(jr) <= zless) exit
         t(jr + 1) = t(jr)
      end do
      t(jr + 1) = zless
   end do
   if (irank == 0) print '(a,2es14.6)', 'pingpong', t((nsteps + 1)/2), t(1)
   call MPI_Finalize(ierr)

contains

   integer function argument(kn)
      integer, intent(in) :: kn
      character(len=16) :: cl
      call get_command_argument(kn, cl)
      read(cl, *) argument
   end function argument
end program pingpong
