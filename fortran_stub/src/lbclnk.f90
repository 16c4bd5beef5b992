!> Fill the halos: lbc_lnk.
!!
!! Up to four fields, with all their levels, travel in one message per neighbour. First east and west (interior rows),
!! then north and south with the columns that have just arrived, so that corners are right without messages of their own.
!! A north fold comes before both: it may overwrite interior rows, and fills the northern halo with its corners (lbc_nfd).
module lbclnk
   use mpi, only: MPI_STATUSES_IGNORE, MPI_Irecv, MPI_Isend, MPI_Waitall
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, Nis0, Nie0, Njs0, Nje0, nn_hls
   use dom_oce, only: mpinei, jpwe, jpea, jpso, jpno, l_IdoNFold
   use lbcnfd, only: t_field, lbc_nfd
   use lib_mpp, only: mpi_comm_oce, mpi_wp, mpprank, ctl_stop
   use timing, only: timing_start, timing_stop, jptim_lbc
   implicit none
   private
   public :: lbc_lnk

   integer, parameter, public :: jpfillcst = 1       !< halos beyond a closed edge become 0
   integer, parameter, public :: jpfillnothing = 2   !< halos beyond a closed edge are left as they are

   real(wp), allocatable :: zsnd(:, :), zrcv(:, :)            ! message to and from each of two neighbours

   interface lbc_lnk
      module procedure lbc_lnk_2d, lbc_lnk_3d
   end interface lbc_lnk

contains

   !> Fill the halos of one 2-D field.
   subroutine lbc_lnk_2d(cdname, pt1, cdna1, psgn1, kfillmode)
      character(len=*), intent(in) :: cdname                        !< who calls
      real(wp), contiguous, target, intent(inout) :: pt1(:, :)
      character(len=1), intent(in) :: cdna1                         !< T, U, V or F
      real(wp), intent(in) :: psgn1
      integer, optional, intent(in) :: kfillmode
      type(t_field) :: fields(1)
      call add_2d(fields(1), pt1, cdna1, psgn1)
      call exchange(cdname, fields, kfillmode)
   end subroutine lbc_lnk_2d

   !> Fill the halos of up to four 3-D fields.
   subroutine lbc_lnk_3d(cdname, pt1, cdna1, psgn1, pt2, cdna2, psgn2, pt3, cdna3, psgn3, pt4, cdna4, psgn4, kfillmode)
      character(len=*), intent(in) :: cdname                        !< who calls
      real(wp), contiguous, target, intent(inout) :: pt1(:, :, :)
      real(wp), contiguous, target, optional, intent(inout) :: pt2(:, :, :), pt3(:, :, :), pt4(:, :, :)
      character(len=1), intent(in) :: cdna1                         !< T, U, V or F
      character(len=1), optional, intent(in) :: cdna2, cdna3, cdna4
      real(wp), intent(in) :: psgn1
      real(wp), optional, intent(in) :: psgn2, psgn3, psgn4
      integer, optional, intent(in) :: kfillmode                    !< beyond closed edges: jpfillcst (default) or jpfillnothing
      type(t_field) :: fields(4)
      integer :: in

      in = 1
      call add_3d(fields(1), pt1, cdna1, psgn1)
      if (present(pt2)) then
         in = 2
         call add_3d(fields(2), pt2, cdna2, psgn2)
      end if
      if (present(pt3)) then
         in = 3
         call add_3d(fields(3), pt3, cdna3, psgn3)
      end if
      if (present(pt4)) then
         in = 4
         call add_3d(fields(4), pt4, cdna4, psgn4)
      end if
      call exchange(cdname, fields(:in), kfillmode)
   end subroutine lbc_lnk_3d

   subroutine add_2d(field, ptab, cd_nat, psgn)
      type(t_field), intent(inout) :: field
      real(wp), contiguous, target, intent(inout) :: ptab(:, :)
      character(len=1), intent(in) :: cd_nat
      real(wp), intent(in) :: psgn
      field%p(1:jpi, 1:jpj, 1:1) => ptab
      field%cd_nat = cd_nat
      field%psgn = psgn
   end subroutine add_2d

   subroutine add_3d(field, ptab, cd_nat, psgn)
      type(t_field), intent(inout) :: field
      real(wp), contiguous, target, intent(inout) :: ptab(:, :, :)
      character(len=1), intent(in) :: cd_nat
      real(wp), intent(in) :: psgn
      field%p => ptab
      field%cd_nat = cd_nat
      field%psgn = psgn
   end subroutine add_3d

   !> Fold and both halves of the exchange.
   subroutine exchange(cdname, fields, kfillmode)
      character(len=*), intent(in) :: cdname
      type(t_field), intent(inout) :: fields(:)
      integer, optional, intent(in) :: kfillmode
      integer :: ifill, ilev, jf

      call timing_start(jptim_lbc)
      ifill = jpfillcst
      if (present(kfillmode)) ifill = kfillmode
      ilev = 0
      do jf = 1, size(fields)
         ilev = ilev + size(fields(jf)%p, 3)
         if (any(shape(fields(jf)%p(:, :, 1)) /= [jpi, jpj])) &
         &  call ctl_stop('lbc_lnk: a field that '//cdname//' passes is not of size (jpi, jpj).')
      end do
      call reserve(nn_hls*max(jpi, jpj)*ilev)
      call lbc_nfd(fields)
      call half(fields, ifill, jpwe, jpea)
      call half(fields, ifill, jpso, jpno)
      call timing_stop(jptim_lbc)
   end subroutine exchange

   !> Make room for messages of knum numbers.
   subroutine reserve(knum)
      integer, intent(in) :: knum
      if (allocated(zsnd)) then
         if (size(zsnd, 1) >= knum) return
         deallocate (zsnd, zrcv)
      end if
      allocate (zsnd(knum, 2), zrcv(knum, 2))
   end subroutine reserve

   !> Exchange with the two neighbours along one direction: klow (west or south) and khigh (east or north).
   subroutine half(fields, kfill, klow, khigh)
      type(t_field), intent(inout) :: fields(:)
      integer, intent(in) :: kfill, klow, khigh
      integer :: inei(2), isnd(4, 2), ircv(4, 2), ireq(4), ireqs, ilen, jn, ierr
      logical :: ll_self

      inei = [mpinei(klow), mpinei(khigh)]
      if (klow == jpwe) then   ! boxes (first i, last i, first j, last j) at the low and at the high side
         isnd = reshape([Nis0, Nis0 + nn_hls - 1, Njs0, Nje0, Nie0 - nn_hls + 1, Nie0, Njs0, Nje0], [4, 2])
         ircv = reshape([1, nn_hls, Njs0, Nje0, Nie0 + 1, jpi, Njs0, Nje0], [4, 2])
      else
         isnd = reshape([1, jpi, Njs0, Njs0 + nn_hls - 1, 1, jpi, Nje0 - nn_hls + 1, Nje0], [4, 2])
         ircv = reshape([1, jpi, 1, nn_hls, 1, jpi, Nje0 + 1, jpj], [4, 2])
      end if

      ll_self = all(inei == mpprank)     ! cyclic and not cut along this direction
      ireqs = 0
      do jn = 1, 2
         if (inei(jn) < 0) then
            if (jn == 2 .and. khigh == jpno .and. l_IdoNFold) cycle
            if (kfill == jpfillcst) call fill(fields, ircv(:, jn))
         else
            call pack(fields, isnd(:, jn), zsnd(:, jn), ilen)
            if (.not. ll_self) then      ! the tag names the side of the receiver: both neighbours may be one rank
               call MPI_Irecv(zrcv(:, jn), ilen, mpi_wp, inei(jn), jn, mpi_comm_oce, ireq(ireqs + 1), ierr)
               call MPI_Isend(zsnd(:, jn), ilen, mpi_wp, inei(jn), 3 - jn, mpi_comm_oce, ireq(ireqs + 2), ierr)
               ireqs = ireqs + 2
            end if
         end if
      end do
      if (ireqs > 0) call MPI_Waitall(ireqs, ireq, MPI_STATUSES_IGNORE, ierr)
      do jn = 1, 2
         if (inei(jn) < 0) cycle
         if (ll_self) then
            call unpack(fields, ircv(:, jn), zsnd(:, 3 - jn))
         else
            call unpack(fields, ircv(:, jn), zrcv(:, jn))
         end if
      end do
   end subroutine half

   subroutine fill(fields, kbox)
      type(t_field), intent(inout) :: fields(:)
      integer, intent(in) :: kbox(4)
      integer :: jf
      do jf = 1, size(fields)
         fields(jf)%p(kbox(1):kbox(2), kbox(3):kbox(4), :) = 0._wp
      end do
   end subroutine fill

   subroutine pack(fields, kbox, pbuf, klen)
      type(t_field), intent(in) :: fields(:)
      integer, intent(in) :: kbox(4)
      real(wp), intent(inout) :: pbuf(:)
      integer, intent(out) :: klen
      integer :: jf, ji, jj, jk
      klen = 0
      do jf = 1, size(fields)
         do jk = 1, size(fields(jf)%p, 3)
            do jj = kbox(3), kbox(4)
               do ji = kbox(1), kbox(2)
                  klen = klen + 1
                  pbuf(klen) = fields(jf)%p(ji, jj, jk)
               end do
            end do
         end do
      end do
   end subroutine pack

   subroutine unpack(fields, kbox, pbuf)
      type(t_field), intent(inout) :: fields(:)
      integer, intent(in) :: kbox(4)
      real(wp), intent(in) :: pbuf(:)
      integer :: jf, ji, jj, jk, ilen
      ilen = 0
      do jf = 1, size(fields)
         do jk = 1, size(fields(jf)%p, 3)
            do jj = kbox(3), kbox(4)
               do ji = kbox(1), kbox(2)
                  ilen = ilen + 1
                  fields(jf)%p(ji, jj, jk) = pbuf(ilen)
               end do
            end do
         end do
      end do
   end subroutine unpack
end module lbclnk
